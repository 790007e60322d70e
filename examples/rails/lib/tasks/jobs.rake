namespace :jobs do
  desc "Take jobs from the Redis list, one at a time, until told to stop"
  task work: :environment do
    stop = false
    %w[TERM INT].each { |signal| trap(signal) { stop = true } }
    puts Store.attached? ? "worker: waiting for jobs" : "worker: no Redis is attached, nothing to do"
    until stop
      next sleep(1) unless Store.attached?

      begin
        _, job = Store.redis.brpop("jobs", timeout: 1)
        puts "worker: #{job} done" if job
      rescue Redis::BaseError => e
        puts "worker: #{e.message}, trying again"
        sleep 1
      end
    end
    puts "worker: stopped"
  end
end
