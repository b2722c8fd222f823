"""``python -m datasets.synthetic CONFIG.yaml key=value ...``: render dancers."""

from configs.command import run_command
from datasets.synthetic.dataset import main

if __name__ == "__main__":
    run_command(main)
