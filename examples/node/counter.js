// A counter in Redis.
import { Redis } from "ioredis";

const redis = process.env.REDISCLOUD_URL ? new Redis(process.env.REDISCLOUD_URL, { maxRetriesPerRequest: 2 }) : null;

// ioredis connects again by itself; without a listener the error would end the process.
redis?.on("error", (error) => console.error(`redis: ${error.message}`));

// visit raises the counter and says where it stands.
export async function visit() {
  if (!redis) return "not attached";
  try {
    return `${await redis.incr("visits")} visits`;
  } catch (error) {
    return `error: ${error.message}`;
  }
}

export function close() {
  redis?.disconnect();
}
