require "test_helper"

# These run on a Neo4j and a Redis of their own: see environments.test in app.json.
class HomeTest < ActionDispatch::IntegrationTest
  setup do
    Store.redis.flushdb
    Graph.query("MATCH (n) DETACH DELETE n")
  end

  test "every visit is counted in Redis" do
    2.times { get "/" }
    assert_response :success
    assert_match(/2 visits/, response.body)
    assert_equal 2, Store.redis.llen("jobs")
  end

  test "every visit is a node in Neo4j" do
    Graph.query("CREATE (:Actor {name: 'Keanu Reeves'})")
    2.times { get "/" }
    assert_match(/2 visits, 1 actors/, response.body)
  end

  test "the process says that it is ready" do
    get "/up"
    assert_equal "ok\n", response.body
  end
end
