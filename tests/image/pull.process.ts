// A process of its own that pulls one image, for the tests. usage: pull.process.js HOME REFERENCE
import { ImageStore } from "../../src/image/host/image-store.ts";
import { Home } from "../../src/storage/home.ts";

const [home, reference] = process.argv.slice(2);
if (home === undefined || reference === undefined)
  throw new RangeError("usage: pull.process.js HOME REFERENCE");
const image = await new ImageStore(new Home(home)).pull(reference);
console.log(image.manifestDigest);
