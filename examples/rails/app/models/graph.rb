require "net/http"

# Neo4j over its HTTP API, at the address in config/neo4j.yml.
class Graph
  class Error < StandardError; end

  def self.attached?
    Rails.configuration.neo4j[:url].present?
  end

  # Runs one Cypher statement in a transaction of its own; returns its rows, each
  # an array of values in the order that it returns them.
  def self.query(statement, parameters = {})
    uri = URI(Rails.configuration.neo4j[:url])
    request = Net::HTTP::Post.new("/db/#{Rails.configuration.neo4j[:database]}/tx/commit",
                                  "Content-Type" => "application/json", "Accept" => "application/json")
    request.basic_auth(URI.decode_www_form_component(uri.user.to_s), URI.decode_www_form_component(uri.password.to_s))
    request.body = { statements: [{ statement: statement, parameters: parameters }] }.to_json

    response = Net::HTTP.start(uri.host, uri.port, use_ssl: uri.scheme == "https", open_timeout: 5, read_timeout: 30) do |http|
      http.request(request)
    end
    rows(response)
  rescue SystemCallError, SocketError, IOError, Timeout::Error, JSON::ParserError => e
    raise Error, e.message
  end

  def self.rows(response)
    answer = JSON.parse(response.body)
    error = answer.fetch("errors", []).first
    raise Error, error["message"] if error
    raise Error, "HTTP status #{response.code}" unless response.is_a?(Net::HTTPSuccess)

    answer.fetch("results").first.fetch("data").map { |row| row.fetch("row") }
  end
  private_class_method :rows
end
