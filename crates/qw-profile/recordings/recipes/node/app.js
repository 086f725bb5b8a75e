// Notes service with two holes: `/view` walks out of its folder, `/calc` evaluates what it gets.
const http = require('http');
const fs = require('fs');
const path = require('path');

http.createServer((request, response) => {
  const url = new URL(request.url, 'http://here');
  const answer = (status, text) => { response.writeHead(status); response.end(String(text)); };
  if (url.pathname === '/note' && request.method === 'POST') {
    const name = path.join('data', `note-${url.searchParams.get('id')}.json`);
    const file = fs.createWriteStream(`${name}.part`);
    request.pipe(file).on('finish', () => fs.rename(`${name}.part`, name, () => answer(201, 'kept')));
  } else if (url.pathname === '/notes') {
    fs.readdir('data', (_, names) => answer(200, names));
  } else if (url.pathname === '/view') {
    fs.readFile(path.join('public', url.searchParams.get('file')), (error, text) => answer(error ? 404 : 200, text));
  } else if (url.pathname === '/rate') {
    http.get({ host: '104.18.32.7', port: 8443, path: '/rate' }, (got) => { got.resume(); answer(200, 'rate'); }).on('error', () => answer(502, ''));
  } else if (url.pathname === '/calc') {
    try { answer(200, eval(url.searchParams.get('x'))); } catch (error) { answer(400, error); }
  } else {
    answer(404, '');
  }
}).listen(3000, '0.0.0.0');
