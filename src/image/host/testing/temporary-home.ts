import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Home } from "../../../storage/home.ts";

/** A home folder of a test's own, removed on disposal. */
export class TemporaryHome extends Home implements Disposable {
  constructor() {
    super(mkdtempSync(join(tmpdir(), "supermachine-test-")));
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
