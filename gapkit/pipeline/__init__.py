"""Where the parts meet: each file is one thing that a user asks for, from target and source to result."""
