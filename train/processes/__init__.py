"""Several processes that train one model, and the signals that stop them."""
