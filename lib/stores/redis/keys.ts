import { sha256 } from '../../protocol/digest.ts'
import type { FamilyOwner, TokenPlace } from '../ports.ts'

/**
 * The names of keys. What stands in braces decides the slot in a cluster: all keys of one script have the same. Nothing that
 * came from outside gets into a name: ids of families are checked, all else is hashed, so lengths are fixed and no brace can
 * move a slot.
 */
export function keysOf(prefix: string) {
  const hashed = (text: string) => sha256(text).slice(0, 22)
  return {
    code: (grantId: string) => `${prefix}{${grantId}}:c`,
    family: (grantId: string) => `${prefix}{${grantId}}:f`,
    list: (owner: FamilyOwner) =>
      'subject' in owner
        ? `${prefix}{${hashed(`subject ${owner.subject}`)}}:s`
        : 'clientId' in owner
          ? `${prefix}{${hashed(`client ${owner.clientId}`)}}:k`
          : `${prefix}{${hashed(`session ${JSON.stringify([owner.idpSession.issuer, owner.idpSession.sid])}`)}}:i`,
    /** What stands for a client's id in the list of all. */
    clientHash: hashed,
    client: (hash: string) => `${prefix}{${hash}}:d`,
    /** That a client's id must not be believed, or who deleted it. */
    clientMark: (hash: string) => `${prefix}{${hash}}:x`,
    clients: `${prefix}{clients}:l`,
    request: (handle: string) => `${prefix}{${handle}}:r`,
    taken: (handle: string) => `${prefix}{${handle}}:t`,
    consents: (subject: string) => `${prefix}{${hashed(subject)}}:u`,
    consentField: hashed,
    claim: (key: string) => `${prefix}{${key}}:j`,
    accessToken: ({ home, hash }: TokenPlace) => `${prefix}{${home}}:${hash}:a`,
    uses: (key: string) => `${prefix}{${key}}:v`,
    document: (url: string) => `${prefix}{${url}}:o`,
    counter: (key: string) => `${prefix}{${key}}:n`,
    places: (of: string) => `${prefix}{${of}}:z`,
    initialToken: (id: string) => `${prefix}{${id}}:o`,
    initialTokenRevocation: (id: string) => `${prefix}{${id}}:y`,
    initialTokens: `${prefix}{iat}:q`,
    ring: `${prefix}{ring}:r`,
    log: { entries: `${prefix}{log}:e`, ends: `${prefix}{log}:u`, place: `${prefix}{log}:r` },
    /** The channel of hints; a name, not a key. */
    hints: `${prefix}{log}:h`,
    instances: `${prefix}{ring}:i`,
    probe: `${prefix}{probe}:p`,
  }
}

export type Keys = ReturnType<typeof keysOf>

/** The form of a family's id: 16 bytes, base64url. Anything else is unknown, and never reaches a key. */
export function isGrantId(id: string): boolean {
  return /^[A-Za-z0-9_-]{22}$/.test(id)
}
