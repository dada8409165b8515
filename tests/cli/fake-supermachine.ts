// The command line as its own process, over the fake library: a program for the tests beside it.
import { runProcess } from "../../src/cli/run-process.ts";
import { fakeLibrary } from "../../src/cli/testing/fake-library.ts";

await runProcess(process.argv.slice(2), { loadLibrary: async () => fakeLibrary().library });
