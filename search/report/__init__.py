"""What people read: report page, tables, terminal."""
