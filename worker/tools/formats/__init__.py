"""How families of models write function calls; one module per family."""
