"""Plain torch modules: architecture and loss per row, no data handling, no seeds."""
