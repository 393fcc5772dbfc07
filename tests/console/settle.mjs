// Waits until a page asks for nothing any more, and has drawn what came.

// What is asked for longer than this, in milliseconds, is not waited for: the server answers at once, or not before something happens.
const LONGEST = 3000;

/** What waits so, on this page; it is told what the page asks for from now on. */
export function settling(page) {
  const asked = new Map();
  // What is told as it happens does not end.
  page.on("request", (request) => request.resourceType() === "eventsource" || asked.set(request, Date.now()));
  for (const end of ["requestfinished", "requestfailed"]) page.on(end, (request) => asked.delete(request));
  const drawn = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  return async () => {
    // What has come may be what asks for more, once it is drawn.
    for (let quiet = 0; quiet < 2; ) {
      await drawn();
      const since = Date.now() - LONGEST;
      quiet = [...asked.values()].some((begun) => begun > since) ? 0 : quiet + 1;
    }
  };
}
