import 'express-session'

declare module 'express-session' {
  interface SessionData {
    user: { id: string; name: string /** Seconds since the epoch. */; signedInAt: number }
  }
}
