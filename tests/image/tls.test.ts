import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { ImageStore } from "../../src/image/host/image-store.ts";
import { FakeRegistry } from "../../src/image/host/testing/fake-registry.ts";
import { TemporaryHome } from "../../src/image/host/testing/temporary-home.ts";

const scratch = mkdtempSync(join(tmpdir(), "supermachine-tls-"));
after(() => rmSync(scratch, { recursive: true }));

test("a certificate must be trusted, unless the user lists the registry as insecure", async (t) => {
  if (spawnSync("openssl", ["version"]).status !== 0) return t.skip("openssl is not installed");
  const [key, cert] = [join(scratch, "key.pem"), join(scratch, "cert.pem")];
  const subject = ["-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-keyout", key, "-out", cert];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", ...files, ...subject], {
    stdio: "ignore",
  });
  await using registry = await FakeRegistry.start({
    key: readFileSync(key, "utf8"),
    cert: readFileSync(cert, "utf8"),
  });
  using home = new TemporaryHome();
  registry.addImage("a", { tag: "latest" });
  const images = new ImageStore(home, { environment: {} });
  const untrusted = { code: "REGISTRY_UNAVAILABLE", hint: /certificate is not trusted.*NODE_EXTRA_CA_CERTS/ };
  await assert.rejects(images.pull(`${registry.host}/a`), untrusted);
  const image = await images.pull(`${registry.host}/a`, { insecure: [registry.host] });
  await images.remove(image.reference);
  const puller = join(import.meta.dirname, "pull.process.js");
  const env = { ...process.env, NODE_EXTRA_CA_CERTS: cert };
  const { stdout } = await promisify(execFile)(process.execPath, [puller, home.root, `${registry.host}/a`], {
    env,
  });
  assert.equal(stdout.trim(), image.manifestDigest);
});
