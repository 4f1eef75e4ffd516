"""What the field had before: transferability scores and dataset distances, as functions on arrays."""
