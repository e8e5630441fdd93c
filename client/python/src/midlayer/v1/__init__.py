"""The messages of the wire, made of proto/midlayer/v1/*.proto when the package is built."""
