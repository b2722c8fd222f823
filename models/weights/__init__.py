"""Files of tensors, single or sharded, and layouts of public trunks. Read ``files.py`` first."""
