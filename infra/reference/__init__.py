"""The reference pages under `docs/reference`, made from the code: `pages` lists them, `python -m infra.reference` writes them."""
