"""Upload service with one hole: the file name of `/lines` reaches a shell."""
import hashlib, http.server, os, sqlite3, subprocess, tempfile, threading, urllib.parse, urllib.request

base = sqlite3.connect("app.db", check_same_thread=False)
base.execute("create table if not exists files (name text, size int, digest text)")
lock = threading.Lock()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, text, status=200):
        body = str(text).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = os.path.basename(urllib.parse.urlparse(self.path).path)
        with tempfile.NamedTemporaryFile(dir="uploads", delete=False) as file:
            file.write(body)
        os.rename(file.name, f"uploads/{name}")
        if len(body) > 4000:
            subprocess.run(["gzip", "-f", f"uploads/{name}"])
        with lock, base:
            base.execute("insert into files values (?, ?, ?)", (name, len(body), hashlib.sha256(body).hexdigest()))
        self.answer("kept", 201)

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/files":
            with lock:
                rows = base.execute("select name, size from files order by rowid desc limit 20").fetchall()
            self.answer(rows)
        elif url.path == "/price":
            with urllib.request.urlopen(f"http://172.20.0.10:9000/price/{query.get('id', 1)}", timeout=3) as price:
                self.answer(price.read())
        elif url.path == "/lines":
            self.answer(os.popen("wc -l uploads/" + query.get("name", "")).read())
        elif url.path == "/clean":
            for name in os.listdir("uploads")[:30]:
                os.unlink(f"uploads/{name}")
            self.answer("clean")
        else:
            self.answer("not here", 404)


http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
