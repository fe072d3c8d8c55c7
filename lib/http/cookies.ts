import type { Request, Response } from 'express'

/**
 * The cookie that binds a pending request to its browser. Over https it is a `__Host-` cookie, which no subdomain and no
 * plain-http neighbour can set.
 */
export function browserCookie(issuer: string) {
  const secure = issuer.startsWith('https:')
  const name = secure ? '__Host-aat_browser' : 'aat_browser'
  return {
    read(req: Request): string | undefined {
      for (const part of (req.headers.cookie ?? '').split(';')) {
        const [key, value] = part.trim().split('=', 2)
        if (key === name && value !== undefined && /^[A-Za-z0-9_-]{43}$/.test(value)) return value
      }
      return undefined
    },
    write(res: Response, value: string): void {
      res.append('Set-Cookie', `${name}=${value}; Path=/; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`)
    },
  }
}
