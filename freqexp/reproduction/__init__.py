"""Results run again and compared, cell by cell, with those saved or published."""
