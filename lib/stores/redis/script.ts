import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** A script, content-addressed: two versions run side by side in a rolling deploy. */
export interface Script {
  readonly name: string
  readonly body: string
  /** SHA-1 of the body, in hex: what EVALSHA names it by. */
  readonly sha: string
}

const read = (name: string) => readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8')
const prologue = read('prologue')

/** Loads `scripts/<name>.lua`, with the prologue that all scripts begin with. Input never gets into a script's text. */
export function script(name: string): Script {
  const body = prologue + read(name)
  return { name, body, sha: createHash('sha1').update(body).digest('hex') }
}
