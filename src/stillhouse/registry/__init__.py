"""Immutable versions of students: blobs by digest, one record a version."""
