"""``sapiens prepare`` from a clone of the repository. The code is sapiens/commands/prepare.py."""

from sapiens.commands import run

if __name__ == '__main__':
    run('prepare')
