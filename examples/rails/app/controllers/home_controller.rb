# The page that shows what the app is attached to.
class HomeController < ApplicationController
  def index
    @visits = count_visit
    @graph = graph_visit
  end

  # Says that the process is ready; what it is attached to may be down.
  def up
    render plain: "ok\n"
  end

  private

  # A counter in Redis, and a job for the worker with every visit.
  def count_visit
    return "not attached" unless Store.attached?

    visits = Store.redis.incr("visits")
    Store.redis.lpush("jobs", "visit #{visits}")
    "#{visits} visits"
  rescue Redis::BaseError => e
    "error: #{e.message}"
  end

  # A node for every visit in Neo4j, and how many there are.
  def graph_visit
    return "not attached" unless Graph.attached?

    Graph.query("CREATE (:Visit {at: datetime(), release: $release})", release: ENV["TOWLINE_RELEASE"].to_s)
    visits, actors = Graph.query("OPTIONAL MATCH (v:Visit) WITH count(v) AS visits OPTIONAL MATCH (a:Actor) RETURN visits, count(a)").first
    "#{visits} visits, #{actors} actors"
  rescue Graph::Error => e
    "error: #{e.message}"
  end
end
