// Makes a machine, says so, and makes snapshots of it until it is killed. Says the id of each.
import { Machine } from "../../src/index.ts";
import { said, small } from "./snapshot-support.ts";

const [image = ""] = process.argv.slice(2);
const machine = await Machine.create(image, small);
console.log(`machine ${machine.id}`);
for (;;) {
  await said(machine, "dd if=/dev/urandom of=/tmp/changing bs=1M count=4");
  console.log("begins");
  console.log(`snapshot ${(await machine.snapshot()).id}`);
}
