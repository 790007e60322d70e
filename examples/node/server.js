import { createServer } from "node:http";
import { hostname } from "node:os";
import * as counter from "./counter.js";
import * as graph from "./graph.js";

const port = process.env.PORT || 3000;
const release = process.env.TOWLINE_RELEASE || "none";

const escape = (text) => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

async function page() {
  const [nodes, count] = await Promise.all([graph.visit(release), counter.visit()]);
  const rows = {
    neo4j: nodes,
    redis: count,
    release,
    process: process.env.TOWLINE_PROCESS || hostname(),
    node: process.version,
  };
  const list = Object.entries(rows).map(([name, value]) => `<dt>${name}</dt> <dd id="${name}">${escape(value)}</dd>`);
  return `<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Films</title>
<h1>Films</h1>
<dl>
${list.join("\n")}
</dl>
</html>
`;
}

const server = createServer(async (request, response) => {
  const { pathname } = new URL(request.url, "http://any");
  if (pathname === "/up") {
    response.end("ok\n"); // the process is ready; what it is attached to may be down
  } else if (pathname === "/") {
    response.setHeader("Content-Type", "text/html; charset=utf-8");
    response.end(await page());
  } else {
    response.statusCode = 404;
    response.end("not found\n");
  }
});

server.listen(port, () => console.log(`listening on port ${port}`));

// Told to stop, it finishes the requests that it has.
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    console.log("stopping");
    server.close(async () => {
      counter.close();
      await graph.close();
    });
    server.closeIdleConnections();
  });
}
