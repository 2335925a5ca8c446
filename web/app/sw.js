// The page opens without the network; its captions need the server. Pictures and answers are never kept here.
const KEPT = 'fastvlm-page';
const FILES = ['./', 'app.css', 'app.js', 'icon.svg', 'manifest.webmanifest'];

self.addEventListener('install', event => {
  event.waitUntil(caches.open(KEPT).then(kept => kept.addAll(FILES)).then(() => self.skipWaiting()));
});
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));
self.addEventListener('fetch', event => {
  const path = new URL(event.request.url).pathname;
  const page = new URL('./', self.registration.scope).pathname;
  if (event.request.method !== 'GET' || !FILES.some(file => path === page + file.replace('./', ''))) return;
  // The server's own copy first: a newer program brings a newer page.
  event.respondWith(fetch(event.request).then(answer => {
    const copy = answer.clone();
    if (answer.ok) event.waitUntil(caches.open(KEPT).then(kept => kept.put(event.request, copy)));
    return answer;
  }).catch(() => caches.match(event.request)));
});
