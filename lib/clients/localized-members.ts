import type { Client } from '../stores/ports.ts'
import { MAX_NAME, optionalPage, optionalText, refusal } from './metadata-members.ts'

/** Of all members together; a registration is no phrase book. */
const MAX_LOCALIZED = 20
/** Members that people read, with the tag of a language behind `#` (RFC 7591 §2.2, RFC 5646 §2.1); any other name is an unknown member. */
const localized =
  /^(client_name|client_uri|logo_uri|tos_uri|policy_uri)#[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}$/

/**
 * Reads the members in other languages: judged like those without a language, kept and told again.
 * @throws OAuthError `invalid_client_metadata`
 */
export function readLocalized(metadata: Record<string, unknown>): Client['localized'] {
  const members: [name: string, value: string][] = []
  for (const name of Object.keys(metadata)) {
    const plain = name.includes('#') ? localized.exec(name)?.[1] : undefined
    if (plain === undefined) continue
    const value = metadata[name]
    const read = plain === 'client_name' ? optionalText(value, name, MAX_NAME) : optionalPage(value, name)
    if (read !== undefined) members.push([name, read])
  }
  if (members.length === 0) return undefined
  if (members.length > MAX_LOCALIZED)
    throw refusal(`there must be at most ${MAX_LOCALIZED} members in other languages`)
  return Object.fromEntries(members)
}
