"""A hub on this machine with the part of the interface of huggingface.co that downloads use."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Files by repository and name, served over HTTP.

    Attributes:
        cut_after: bytes after which each connection is closed; None to send everything.
        ranges: the ``Range`` header of each request for content.
        checksums: sha256 by file name instead of the true ones.
    """

    def __init__(self, repos: dict[str, dict[str, bytes]]) -> None:
        self.repos, self.cut_after, self.ranges, self.checksums = repos, None, [], {}
        self.refuse = False
        self.requests = 0

    def listing(self, repo: str) -> dict:
        files = []
        for name, content in self.repos[repo].items():
            sha256 = self.checksums.get(name) or hashlib.sha256(content).hexdigest()
            lfs = dict(sha256=sha256, size=len(content), pointerSize=130)
            files.append(dict(rfilename=name, size=len(content), blobId='0' * 40, lfs=lfs))
        return dict(_id='1', id=repo, modelId=repo, sha='a' * 40, private=False, tags=[], downloads=0, siblings=files)


def _handler(hub: Hub):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def log_message(self, *args):
            pass

        def answer(self, status, content=b'', **headers):
            self.send_response(status)
            for name, value in {'Content-Length': len(content), 'Connection': 'close', **headers}.items():
                self.send_header(name.replace('_', '-'), str(value))
            self.end_headers()
            return self.wfile.write(content) if self.command != 'HEAD' else None

        def do_GET(self):
            hub.requests += 1
            path = self.path.partition('?')[0]
            if path.startswith('/api/models/'):
                repo = path.removeprefix('/api/models/').partition('/revision/')[0]
                if repo not in hub.repos:
                    return self.answer(404, b'{}', X_Error_Code='RepoNotFound')
                return self.answer(200, json.dumps(hub.listing(repo)).encode(), Content_Type='application/json')
            repo, _, name = path[1:].partition('/resolve/main/')
            content = hub.repos.get(repo, {}).get(name)
            if content is None or hub.refuse:
                return self.answer(503 if hub.refuse else 404)
            asked = self.headers.get('Range')
            hub.ranges.append(asked)
            start = int(asked.removeprefix('bytes=').rstrip('-')) if asked else 0
            headers = dict(Content_Range=f'bytes {start}-{len(content) - 1}/{len(content)}') if asked else {}
            self.send_response(206 if asked else 200)
            headers |= dict(Content_Length=len(content) - start, ETag='"x"', Connection='close')
            for key, value in headers.items():
                self.send_header(key.replace('_', '-'), str(value))
            self.end_headers()
            end = len(content) if hub.cut_after is None else min(len(content), start + hub.cut_after)
            self.wfile.write(content[start:end])
            if end < len(content):
                self.close_connection = hub.refuse = True  # nothing more until told otherwise

        do_HEAD = do_GET

    return Handler


@contextmanager
def served(hub: Hub):
    """The address of a running hub."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), _handler(hub))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f'http://127.0.0.1:{server.server_port}'
    finally:
        server.shutdown()
        server.server_close()
