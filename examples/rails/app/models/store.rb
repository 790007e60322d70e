# Redis, at the address in REDISCLOUD_URL.
module Store
  def self.attached?
    ENV["REDISCLOUD_URL"].present?
  end

  # One connection for all threads: the client takes turns. A worker that blocks
  # on it has its own process.
  def self.redis
    @redis ||= Redis.new(url: ENV.fetch("REDISCLOUD_URL"))
  end
end
