"""The checker behind the shapes of every test: beartype, for which an int is a float."""

from beartype import BeartypeConf, beartype

typecheck = beartype(conf=BeartypeConf(is_pep484_tower=True))
