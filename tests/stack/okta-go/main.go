// Reads an Okta org with Okta's own Go client, by which Okta's Terraform provider reads too, and prints what the client
// understood, in the names of the provider's attributes. Address and credentials are in the environment (OKTA_CLIENT_…).
package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/okta/okta-sdk-golang/v5/okta"
)

type object = map[string]any

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func main() {
	configuration, err := okta.NewConfiguration()
	check("configuration", err)
	org, err := url.Parse(configuration.Okta.Client.OrgUrl)
	check("address", err)
	configuration.Host = org.Host // the client drops the port
	client, context := okta.NewAPIClient(configuration), configuration.Context

	zones := []object{}
	zonePage, _, err := client.NetworkZoneAPI.ListNetworkZones(context).Execute()
	check("zones", err)
	for _, zone := range zonePage {
		zones = append(zones, zoneOf(zone))
	}

	groups := []object{}
	groupPage, _, err := client.GroupAPI.ListGroups(context).Execute()
	check("groups", err)
	for _, group := range groupPage {
		members, _, err := client.GroupAPI.ListGroupUsers(context, group.GetId()).Limit(200).Execute()
		check("members", err)
		users := []object{}
		for _, member := range members {
			profile := member.GetProfile()
			users = append(users, object{"id": member.GetId(), "login": profile.GetLogin(), "status": member.GetStatus()})
		}
		profile := group.GetProfile()
		groups = append(groups, object{"id": group.GetId(), "name": profile.GetName(), "type": group.GetType(), "users": users})
	}

	roles := []object{}
	rolePage, _, err := client.RoleAPI.ListRoles(context).Execute()
	check("roles", err)
	for _, role := range rolePage.GetRoles() {
		found, _, err := client.RoleAPI.ListRolePermissions(context, role.GetId()).Execute()
		check("permissions", err)
		permissions := []string{}
		for _, permission := range found.GetPermissions() {
			permissions = append(permissions, permission.GetLabel())
		}
		roles = append(roles, object{"label": role.GetLabel(), "description": role.GetDescription(), "permissions": permissions})
	}

	sets := []object{}
	setPage, _, err := client.ResourceSetAPI.ListResourceSets(context).Execute()
	check("resource sets", err)
	for _, set := range setPage.GetResourceSets() {
		found, _, err := client.ResourceSetAPI.ListResourceSetResources(context, set.GetId()).Execute()
		check("resources", err)
		resources := []string{}
		for _, resource := range found.GetResources() {
			links := resource.GetLinks()
			resources = append(resources, links.Self.GetHref())
		}
		bindings, _, err := client.ResourceSetAPI.ListBindings(context, set.GetId()).Execute()
		check("bindings", err)
		members := []string{}
		for _, role := range bindings.GetRoles() {
			bound, _, err := client.ResourceSetAPI.ListMembersOfBinding(context, set.GetId(), role.GetId()).Execute()
			check("members of a binding", err)
			for _, member := range bound.GetMembers() {
				links := member.GetLinks()
				members = append(members, links.Self.GetHref())
			}
		}
		sets = append(sets, object{"label": set.GetLabel(), "description": set.GetDescription(), "resources": resources, "members": members})
	}

	providers := []object{}
	providerPage, _, err := client.SSFReceiverAPI.ListSecurityEventsProviderInstances(context).Execute()
	check("providers of security events", err)
	for _, provider := range providerPage {
		settings := provider.GetSettings()
		providers = append(providers, object{
			"name": provider.GetName(), "type": provider.GetType(), "is_enabled": provider.GetStatus(),
			"issuer": settings.GetIssuer(), "jwks_url": settings.GetJwksUrl(),
		})
	}

	check("output", json.NewEncoder(os.Stdout).Encode(object{
		"zones": zones, "groups": groups, "roles": roles, "resource_sets": sets, "providers": providers,
	}))
}

func zoneOf(zone okta.ListNetworkZones200ResponseInner) object {
	switch found := zone.GetActualInstance().(type) {
	case *okta.IPNetworkZone:
		return object{
			"name": found.GetName(), "type": found.GetType(), "usage": found.GetUsage(), "status": found.GetStatus(),
			"gateways": addresses(found.GetGateways()), "proxies": addresses(found.GetProxies()),
		}
	case *okta.DynamicNetworkZone:
		return object{
			"name": found.GetName(), "type": found.GetType(), "usage": found.GetUsage(), "status": found.GetStatus(),
			"dynamic_locations": places(found.GetLocations()), "asns": found.GetAsns(),
			"dynamic_proxy_type": found.GetProxyType(),
		}
	case *okta.EnhancedDynamicNetworkZone:
		locations, asns, services := found.GetLocations(), found.GetAsns(), found.GetIpServiceCategories()
		return object{
			"name": found.GetName(), "type": found.GetType(), "usage": found.GetUsage(), "status": found.GetStatus(),
			"dynamic_locations": places(locations.GetInclude()), "dynamic_locations_exclude": places(locations.GetExclude()),
			"asns": asns.GetInclude(), "ip_service_categories_include": services.GetInclude(),
			"ip_service_categories_exclude": services.GetExclude(),
		}
	}
	check("zones", fmt.Errorf("a zone of no known type"))
	return nil
}

func addresses(found []okta.NetworkZoneAddress) []string {
	values := []string{}
	for _, address := range found {
		values = append(values, address.GetValue())
	}
	return values
}

// places gives a region where there is one, else the country.
func places(found []okta.NetworkZoneLocation) []string {
	codes := []string{}
	for _, place := range found {
		if strings.Contains(place.GetRegion(), "-") {
			codes = append(codes, place.GetRegion())
		} else {
			codes = append(codes, place.GetCountry())
		}
	}
	return codes
}
