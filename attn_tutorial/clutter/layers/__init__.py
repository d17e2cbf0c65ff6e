"""One file for each clutter type: its levels, its random streams, and how it is drawn."""
