"""Output for people: report page, tables, figures, terminal."""
