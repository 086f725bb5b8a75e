/** Writes `.gz` and `.br` beside every text file of `dist/`, so that the server never compresses one. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
const TEXT = /\.(?:html|js|css|svg|json|txt|webmanifest)$/;
/** Below this a compressed copy costs more than it saves. */
const LEAST_BYTES = 512;

let files = 0;
for (const name of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
  if (!TEXT.test(name)) continue;
  const path = join(dist, name);
  const content = readFileSync(path);
  if (content.length < LEAST_BYTES) continue;
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
  writeFileSync(
    `${path}.br`,
    brotliCompressSync(content, {
      params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length },
    }),
  );
  files += 1;
}
console.log(`compressed ${files} files`);
