/** The benchmark's own packages: the peers. */

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const bench = new URL('../', import.meta.url)
const places = [bench, new URL('../', bench)]
const NAMES = Object.keys(JSON.parse(readFileSync(new URL('package.json', bench), 'utf8')).dependencies)

/** Installs those that are missing. */
export function ensurePackages() {
  if (NAMES.every((name) => existsSync(new URL(`node_modules/${name}/package.json`, bench)))) return
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: fileURLToPath(bench), stdio: 'inherit' })
}

/** The versions that are measured, ours not among them. */
export function versions() {
  return ['express', 'ioredis', 'jose', '@modelcontextprotocol/sdk', ...NAMES].map(
    (name) => `${name} ${versionOf(name)}`,
  )
}

/** @param {string} name */
function versionOf(name) {
  const at = places.find((place) => existsSync(new URL(`node_modules/${name}/package.json`, place)))
  return at && JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, at), 'utf8')).version
}
