import type { Request, Router } from 'express'
import type { SignedInUser } from '../authorization/user.ts'
import type { SignInContext } from '../endpoints/authorize-answers.ts'
import type { AatParts } from '../http/aat.ts'
import { withParameters } from '../protocol/redirect-uri.ts'
import type { NumericDate } from '../protocol/time.ts'

/** A sign-in at an identity provider: its routes, and what `authorizeEndpoint` wants to know of it. */
export interface SignIn {
  /** Mount it at the path of `url`. */
  readonly router: Router
  /** For `authorizeEndpoint`, and for the app's own pages: who is signed in, `undefined` for nobody. */
  readonly resolveUser: (req: Request) => SignedInUser | undefined
  /** For `authorizeEndpoint`: where users sign in, with what the client asked for. */
  readonly signInUrl: (context: SignInContext) => string
}

/** What `signInUrl` puts into the address of a sign-in, and the sign-in reads from it. */
export interface SignInWishes {
  readonly returnTo: string
  /** Ask for credentials even where the provider has a session. */
  readonly prompt: readonly string[]
  readonly maxAge: number | undefined
  readonly acrValues: readonly string[]
  readonly loginHint: string | undefined
}

/** @param path where the sign-in is mounted */
export function signInUrlAt(path: string): SignIn['signInUrl'] {
  return ({ returnTo, prompt, maxAge, acrValues, loginHint }) => {
    const asked = prompt.filter((one) => one === 'login' || one === 'select_account')
    return withParameters(path, {
      return_to: returnTo,
      prompt: asked.length > 0 ? asked.join(' ') : undefined,
      max_age: maxAge === undefined ? undefined : String(maxAge),
      acr_values: acrValues.length > 0 ? acrValues.join(' ') : undefined,
      login_hint: loginHint,
    })
  }
}

/** Reads what `signInUrl` wrote. Anybody can write such an address, so what does not fit is left out. */
export function readWishes(query: ReadonlyMap<string, readonly string[]>): SignInWishes {
  const one = (name: string) => {
    const values = query.get(name) ?? []
    return values.length === 1 ? values[0] : undefined
  }
  const words = (name: string) => (one(name) ?? '').slice(0, 1024).split(' ').filter(Boolean)
  const maxAge = one('max_age')
  return {
    returnTo: localPath(one('return_to')) ?? '/',
    prompt: words('prompt').filter((word) => word === 'login' || word === 'select_account'),
    maxAge: maxAge !== undefined && /^\d{1,9}$/.test(maxAge) ? Number(maxAge) : undefined,
    acrValues: words('acr_values'),
    loginHint: one('login_hint')?.slice(0, 512),
  }
}

/**
 * A path of this site, as a browser understands it; `undefined` for anything that could lead elsewhere (`//host`, `/\host`,
 * control characters, which browsers drop).
 */
export function localPath(text: string | undefined): string | undefined {
  if (text === undefined || text.length > 2048 || !/^\/(?![/\\])[\x21-\x7e]*$/.test(text)) return undefined
  const { origin, pathname, search, hash } = new URL(text, 'https://this.invalid')
  // `/.//evil.example` is of this site until its dot is gone.
  return origin === 'https://this.invalid' && !pathname.startsWith('//')
    ? pathname + search + hash
    : undefined
}

/**
 * Up to when sign-ins are meant by a logout of all of a user's: until it was said, by a provider whose clock may differ by
 * `tolerance`, and not after now, by an instance whose clock is a little ahead and dated the sign-in. A replay means none later.
 */
export function endsUntil(
  saidAt: NumericDate,
  tolerance: number,
  { clock, clockTolerance }: Pick<AatParts, 'clock' | 'clockTolerance'>,
): NumericDate {
  return Math.min(clock() + clockTolerance, saidAt + tolerance)
}
