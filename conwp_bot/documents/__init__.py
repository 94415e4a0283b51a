"""Authored YAML: read within bounds, with the place of every key and value, and checked against strict forms."""

from conwp_bot.documents.document import Document, Path, Position
from conwp_bot.documents.form import Form, validate
from conwp_bot.documents.reader import LARGEST_FILE, read_document

__all__ = ["LARGEST_FILE", "Document", "Form", "Path", "Position", "read_document", "validate"]
