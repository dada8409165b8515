import { useCompileCache } from "../storage/compile-cache.ts";

useCompileCache();
// Imported late, so that it comes from the cache.
void import("./run-process.ts").then(({ runProcess }) => runProcess(process.argv.slice(2)));
