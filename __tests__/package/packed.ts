import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { promisify } from 'node:util'
import { TSCONFIG } from './samples.ts'

export const run = promisify(execFile)
export const root = join(import.meta.dirname, '..', '..')
const modules = join(root, 'node_modules')

let temp: string
let tarball: string

/** The package as npm would publish it, in a folder that `removeAll` removes. */
export async function packOnce(): Promise<string> {
  temp = await mkdtemp(join(tmpdir(), 'express-aat-package-'))
  tarball = await pack()
  return tarball
}

export async function removeAll(): Promise<void> {
  await rm(temp, { recursive: true, force: true, maxRetries: 3 })
}

/** A project of a user's with the package and some others, and files in it. */
export async function install(
  name: string,
  packages: readonly string[],
  files: Readonly<Record<string, string>>,
): Promise<string> {
  const project = join(temp, name)
  await mkdir(project)
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'user', private: true }))
  await npm(project, ['install', '--prefer-offline', '--no-audit', '--no-fund', tarball, ...packages])
  const all = { ...files, 'tsconfig.json': JSON.stringify(TSCONFIG) }
  for (const [file, text] of Object.entries(all)) await writeFile(join(project, file), text)
  return project
}

/** What a file of a project prints, which is JSON. */
export async function reportOf(project: string, file: string): Promise<unknown> {
  const { stdout } = await run(process.execPath, [file], { cwd: project, env: cleanEnv() })
  return JSON.parse(stdout)
}

/** What the compiler has against a project, or against files of it. @param at where the compiler is */
export async function typeErrorsOf(project: string, args = ['-p', project], at = modules): Promise<string> {
  const tsc = join(at, 'typescript', 'bin', 'tsc')
  return run(process.execPath, [tsc, ...args, '--pretty', 'false'], { cwd: project }).then(
    () => '',
    (error: { stdout: string; stderr: string }) => `${error.stdout}${error.stderr}`,
  )
}

/** Packs a copy of the repository that has never been built, so that `prepack` has to build it. */
async function pack(): Promise<string> {
  const copy = join(temp, 'repository')
  const left = new Set(['node_modules', 'dist', 'coverage', '.git', '.tmp'])
  await cp(root, copy, {
    recursive: true,
    filter: (source) => !left.has(relative(root, source).split(sep).at(-1) ?? ''),
  })
  await symlink(modules, join(copy, 'node_modules'), 'dir')
  await npm(copy, ['pack', '--pack-destination', temp])
  const name = (await readdir(temp)).find((file) => file.endsWith('.tgz'))
  if (name === undefined) throw new Error('npm pack made no tarball')
  return join(temp, name)
}

let unpacked: Promise<string> | undefined

export function unpack(): Promise<string> {
  unpacked ??= (async () => {
    const folder = join(temp, 'unpacked')
    await mkdir(folder)
    await run('tar', ['-xzf', tarball, '-C', folder])
    return join(folder, 'package')
  })()
  return unpacked
}

export async function list(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
}

export async function versionOf(name: string): Promise<string> {
  const manifest = JSON.parse(await readFile(join(modules, name, 'package.json'), 'utf8')) as {
    version: string
  }
  return manifest.version
}

async function npm(cwd: string, args: string[]): Promise<void> {
  try {
    await run('npm', args, { cwd, env: cleanEnv() })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`npm ${args[0]} failed\n${stdout}${stderr}`)
  }
}

/** The environment without what the surrounding `npm test` says about its own package and flags. */
function cleanEnv(): NodeJS.ProcessEnv {
  const own =
    /^(?:npm_(?:package|lifecycle|command)|npm_config_(?:local_prefix|json|silent|loglevel)$|INIT_CWD$|NODE_ENV$)/i
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)))
}
