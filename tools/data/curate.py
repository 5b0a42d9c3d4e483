"""``sapiens curate`` from a clone of the repository. The code is sapiens/commands/curate.py."""

from sapiens.commands import run

if __name__ == '__main__':
    run('curate')
