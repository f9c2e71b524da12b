"""Write docs/rules.md."""

from tests.rules.table import DOCUMENT, document

DOCUMENT.write_text(document(), "utf-8")
