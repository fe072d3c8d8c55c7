import { readDescription } from './client-description.ts'
import type { Client } from './client-store.ts'

/** Short names of the members: a record in Redis, and an id that describes its client, should be small. Never reused. */
const letters: Record<keyof Client, string> = {
  id: 'i',
  origin: 'o',
  name: 'n',
  uri: 'u',
  logoUri: 'l',
  policyUri: 'p',
  tosUri: 't',
  localized: 'G',
  contacts: 'c',
  softwareId: 's',
  softwareVersion: 'v',
  softwareStatement: 'S',
  applicationType: 'a',
  redirectUris: 'r',
  grantTypes: 'g',
  authenticationMethod: 'm',
  secrets: 'x',
  jwks: 'k',
  jwksUri: 'K',
  assertionAlg: 'A',
  defaultScope: 'd',
  allowedScope: 'D',
  refreshPolicy: 'f',
  refreshTokens: 'R',
  boundToIdpSession: 'b',
  accessTokenLifetime: 'L',
  accessTokenFormat: 'F',
  dpopBoundAccessTokens: 'B',
  tlsClientCertificateBoundAccessTokens: 'T',
  policy: 'P',
  firstParty: 'y',
  introspects: 'I',
  mayDeny: 'N',
  registrationTokens: 'w',
  createdAt: 'z',
  firstUsedAt: 'U',
  changedAt: 'C',
  disabledAt: 'X',
}
const lettered = Object.entries(letters) as [keyof Client, string][]
const members = new Map(lettered.map(([member, letter]) => [letter, member]))

/** What most clients that register are; not written down. */
const usual: Partial<Client> = {
  origin: 'registered',
  applicationType: 'native',
  redirectUris: [],
  grantTypes: ['authorization_code', 'refresh_token'],
  authenticationMethod: 'none',
  secrets: [],
}
const written = new Map(
  lettered.map(([member, letter]) => {
    const expected = usual[member]
    const list = Array.isArray(expected) ? JSON.stringify(expected) : undefined
    return [member, { letter, expected, list }]
  }),
)

/** A client as JSON with short names. */
export function writeClient(client: Partial<Client>): string {
  const told: Record<string, unknown> = {}
  for (const [member, value] of Object.entries(client)) {
    const how = written.get(member as keyof Client)
    if (how === undefined || value === undefined || value === how.expected) continue
    if (how.list === undefined || how.list !== JSON.stringify(value)) told[how.letter] = value
  }
  return JSON.stringify(told)
}

/** What `writeClient` wrote. @throws SyntaxError for anything else than JSON */
export function readClient(text: string): Client {
  return { ...usual, ...readMembers(text) } as Client
}

function readMembers(text: string): Partial<Client> {
  const told: Record<string, unknown> = {}
  for (const [letter, value] of Object.entries(JSON.parse(text) as Record<string, unknown>)) {
    const member = members.get(letter)
    if (member !== undefined) told[member] = value
  }
  return told as Partial<Client>
}

/** What an id says of its client, proven or not. */
function described(id: string): Partial<Client> {
  const description = readDescription(id)
  const [text] = description?.text.split('\n') ?? []
  try {
    return text === undefined ? {} : readMembers(text)
  } catch {
    return {}
  }
}

/** A record: what the id says already is not said again; `null` is what only the id says. */
export function writeRecord(client: Client): string {
  const told: Partial<Client> = { ...usual, ...described(client.id) }
  const entries = Object.entries(letters).flatMap(([member, letter]) => {
    const [value, before] = [client[member as keyof Client], told[member as keyof Client]]
    return JSON.stringify(value) === JSON.stringify(before) ? [] : [[letter, value ?? null]]
  })
  return JSON.stringify(Object.fromEntries(entries))
}

/** The client of a record. @throws SyntaxError for anything else than JSON */
export function readRecord(text: string): Client {
  const own = readMembers(text)
  const all = Object.entries({ ...usual, ...described(own.id ?? ''), ...own })
  return Object.fromEntries(all.filter(([, value]) => value !== null)) as unknown as Client
}
