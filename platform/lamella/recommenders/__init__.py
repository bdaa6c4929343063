"""The model kinds: trained in Keras by workers, compiled to plain matrices for serving."""
