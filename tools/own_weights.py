"""``sapiens weights`` from a clone of the repository. The code is sapiens/commands/weights.py."""

from sapiens.commands import run

if __name__ == '__main__':
    run('weights')
