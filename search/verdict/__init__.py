"""Pure statistics: from measured runs to dials and sentences."""
