"""Readers: files, folders and samples to targets."""
