"""``sapiens scans`` from a clone of the repository. The code is sapiens/commands/scans.py."""

from sapiens.commands import run

if __name__ == '__main__':
    run('scans')
