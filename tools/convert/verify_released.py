"""``sapiens verify`` from a clone of the repository. The code is sapiens/commands/verify.py."""

from sapiens.commands import run

if __name__ == '__main__':
    run('verify')
