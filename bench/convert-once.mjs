// Pulls an image into an empty home and converts it once; prints the time of the conversion and the peak memory.
import { ImageStore } from "../dist/src/image/host/image-store.js";
import { prepareRootfs } from "../dist/src/rootfs/host/prepare-rootfs.js";
import { Home } from "../dist/src/storage/home.js";

const [source, folder] = process.argv.slice(2);
const home = new Home(folder);
const image = await new ImageStore(home).pull(source);
const started = performance.now();
await prepareRootfs(image, { home });
const convertMs = performance.now() - started;
console.log(JSON.stringify({ convertMs, peakMiB: process.resourceUsage().maxRSS / 1024 }));
